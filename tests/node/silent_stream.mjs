// Reads a stream whose engine falls silent, live and once more from the kept events.
import OpenAI from 'openai'

const [baseURL, apiKey] = process.argv.slice(2)
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 })
const messages = [{ role: 'user', content: 'What is a forebay?' }]
const live = await client.chat.completions.create({ model: 'mock', messages, stream: true })

async function textOf(stream, begun = []) {
  const chunks = [...begun]
  for await (const chunk of stream) chunks.push(chunk)
  return chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('')
}

const reading = live[Symbol.asyncIterator]()
const first = (await reading.next()).value
const again = await client.get(`/completions/${first.id}/events`, { stream: true })
const rest = { [Symbol.asyncIterator]: () => reading }
const texts = await Promise.all([textOf(rest, [first]), textOf(again)])
console.log(JSON.stringify({ texts }))
