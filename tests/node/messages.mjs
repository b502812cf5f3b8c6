// A whole message, a stream with its usage, a streamed call and its result, a count, a list, and errors.
import Anthropic from '@anthropic-ai/sdk'

const [v1, apiKey] = process.argv.slice(2)
const client = new Anthropic({ baseURL: v1.replace(/\/v1$/, ''), apiKey, maxRetries: 0 })
const model = 'smollm2-135m'
const question = 'What is the capital of France? Answer in one sentence.'
const messages = [{ role: 'user', content: question }]
const request = { model, messages, max_tokens: 30, temperature: 0 }
const tools = [{
  name: 'get_weather',
  input_schema: { type: 'object', properties: { city: { type: 'string', maxLength: 12 } }, required: ['city'], additionalProperties: false },
}]

const text = (message) => message.content.map((block) => block.text ?? '').join('')
const whole = await client.messages.create(request)
const stream = client.messages.stream(request)
const deltas = []
stream.on('text', (delta) => deltas.push(delta))
const streamed = await stream.finalMessage()

const called = await client.messages
  .stream({ ...request, max_tokens: 60, tools, tool_choice: { type: 'any' } })
  .finalMessage()
const call = called.content.find((block) => block.type === 'tool_use')
const answered = await client.messages.create({
  ...request,
  tools,
  messages: [
    ...messages,
    { role: 'assistant', content: called.content },
    { role: 'user', content: [{ type: 'tool_result', tool_use_id: call.id, content: '22 degrees' }] },
  ],
})
const counted = await client.messages.countTokens({ model, messages })
const models = []
for await (const each of client.models.list()) models.push(each.id)
const failure = async (changes) => {
  try {
    await client.messages.create({ ...request, ...changes })
  } catch (error) {
    return [error.constructor.name, error.status, error.error.error.type]
  }
}

console.log(JSON.stringify({
  whole: text(whole),
  streamed: deltas.join(''),
  final: text(streamed),
  usage: [whole.usage, streamed.usage].map((usage) => [usage.input_tokens + usage.cache_read_input_tokens, usage.output_tokens]),
  call: [call.name, Object.keys(call.input), called.stop_reason],
  answered: answered.stop_reason,
  counted: counted.input_tokens,
  models,
  errors: [await failure({ model: 'none' }), await failure({ max_tokens: 0 })],
}))
