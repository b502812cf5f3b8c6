// OpenAI's client over the Responses API: whole, streamed, a tool and its result, JSON by a schema.
import OpenAI from 'openai'

const [baseURL, apiKey] = process.argv.slice(2)
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 })
const model = 'smollm2-135m'
const input = 'What is the capital of France? Answer in one sentence.'
const request = { model, input, max_output_tokens: 30, temperature: 0 }
const city = {
  type: 'object',
  properties: { city: { type: 'string', maxLength: 12 } },
  required: ['city'],
  additionalProperties: false,
}

const whole = await client.responses.create(request)
const stream = client.responses.stream(request)
const numbers = []
for await (const event of stream) numbers.push(event.sequence_number)
const streamed = await stream.finalResponse()

const tools = [{ type: 'function', name: 'get_weather', parameters: city, strict: true }]
const called = await client.responses.create({ ...request, max_output_tokens: 60, tools, tool_choice: 'required' })
const call = called.output.find((item) => item.type === 'function_call')
const output = { type: 'function_call_output', call_id: call.call_id, output: '18 degrees' }
const answered = await client.responses.create({
  ...request, input: [output], previous_response_id: called.id, tools,
})
const format = { type: 'json_schema', name: 'city', schema: city, strict: true }
const shaped = await client.responses.parse({ ...request, text: { format } })

console.log(JSON.stringify({
  whole: whole.output_text,
  streamed: streamed.output_text,
  gaps: numbers.filter((number, n) => number !== n),
  usage: streamed.usage,
  call: { name: call.name, arguments: Object.keys(JSON.parse(call.arguments)) },
  answered: answered.output.length > 0,
  shaped: Object.keys(shaped.output_parsed),
}))
