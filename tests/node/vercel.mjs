// Vercel's AI SDK: a text, a stream, and a tool that the model must call.
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { generateText, jsonSchema, streamText, tool } from 'ai'

const [baseURL, apiKey] = process.argv.slice(2)
const provider = createOpenAICompatible({ name: 'forebay', baseURL, apiKey, includeUsage: true })
const prompt = 'What is the capital of France? Answer in one sentence.'
const request = { model: provider('smollm2-135m'), temperature: 0, maxOutputTokens: 30, maxRetries: 0 }
const inputSchema = jsonSchema({
  type: 'object',
  properties: { city: { type: 'string', maxLength: 12 } },
  required: ['city'],
  additionalProperties: false,
})

const whole = await generateText({ ...request, prompt })
const stream = streamText({ ...request, prompt })
let streamed = ''
for await (const text of stream.textStream) streamed += text
const called = await generateText({
  ...request,
  prompt: 'What is the weather in Paris?',
  maxOutputTokens: 60,
  tools: { get_weather: tool({ description: 'The weather of a city', inputSchema }) },
  toolChoice: 'required',
})
console.log(JSON.stringify({
  whole: whole.text,
  streamed,
  usage: await stream.usage,
  calls: called.toolCalls.map((call) => [call.toolName, Object.keys(call.input)]),
}))
