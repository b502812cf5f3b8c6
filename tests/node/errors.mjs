// The class, status and code of what is thrown, for requests that must fail.
import OpenAI from 'openai'

const [baseURL, apiKey] = process.argv.slice(2)
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 })
const messages = [{ role: 'user', content: 'What is a forebay?' }]
const requests = {
  'an unknown model': () => client.chat.completions.create({ model: 'gpt-9', messages }),
  'no message': () => client.chat.completions.create({ model: 'mock', messages: [] }),
  'a wrong key': () => client.withOptions({ apiKey: 'sk-wrong' }).models.list(),
  'a stream that fails in its middle': async () => {
    for await (const _chunk of await client.chat.completions.create({ model: 'mock', messages, stream: true }));
  },
}
const thrown = {}
for (const [name, send] of Object.entries(requests)) {
  try {
    await send()
    thrown[name] = null
  } catch (error) {
    thrown[name] = [error.constructor.name, error.status ?? null, error.code ?? error.error?.code]
  }
}
console.log(JSON.stringify(thrown))
