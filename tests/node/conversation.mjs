// A whole answer, a stream with usage, a tool call from a stream, JSON by a schema, and a list.
import OpenAI from 'openai'

const [baseURL, apiKey] = process.argv.slice(2)
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 })
const model = 'smollm2-135m'
const question = 'What is the capital of France? Answer in one sentence.'
const request = { model, messages: [{ role: 'user', content: question }], max_tokens: 30, temperature: 0 }
const city = {
  type: 'object',
  properties: { city: { type: 'string', maxLength: 12 } },
  required: ['city'],
  additionalProperties: false,
}

const whole = await client.chat.completions.create(request)
const chunks = []
const usage = { stream: true, stream_options: { include_usage: true } }
for await (const chunk of await client.chat.completions.create({ ...request, ...usage })) chunks.push(chunk)

const tool = { type: 'function', function: { name: 'get_weather', parameters: city, strict: true } }
const called = await client.chat.completions
  .stream({ ...request, max_tokens: 60, tools: [tool], tool_choice: 'required' })
  .finalChatCompletion()
const response_format = { type: 'json_schema', json_schema: { name: 'city', schema: city } }
const shaped = await client.chat.completions.parse({ ...request, response_format })
const models = []
for await (const each of client.models.list()) models.push(each.id)

console.log(JSON.stringify({
  whole: whole.choices[0].message.content,
  streamed: chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join(''),
  usage: chunks.at(-1).usage,
  call: called.choices[0].message.tool_calls[0].function,
  shaped: shaped.choices[0].message.parsed,
  models,
}))
