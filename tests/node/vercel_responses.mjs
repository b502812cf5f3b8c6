// Vercel's AI SDK with its provider for OpenAI, which speaks the Responses API and stores by default.
import { createOpenAI } from '@ai-sdk/openai'
import { generateText, jsonSchema, streamText, tool } from 'ai'

const [baseURL, apiKey] = process.argv.slice(2)
const provider = createOpenAI({ baseURL, apiKey })
const prompt = 'What is the capital of France? Answer in one sentence.'
const request = { model: provider('smollm2-135m'), temperature: 0, maxOutputTokens: 30, maxRetries: 0 }
const inputSchema = jsonSchema({
  type: 'object',
  properties: { city: { type: 'string', maxLength: 12 } },
  required: ['city'],
  additionalProperties: false,
})
const tools = { get_weather: tool({ description: 'The weather of a city', inputSchema }) }

const whole = await generateText({ ...request, prompt })
const stream = streamText({ ...request, prompt })
let streamed = ''
for await (const text of stream.textStream) streamed += text
const question = { role: 'user', content: 'What is the weather in Paris?' }
const called = await generateText({
  ...request, maxOutputTokens: 60, messages: [question], tools, toolChoice: 'required',
})
const { toolCallId, toolName } = called.toolCalls[0]
const result = { type: 'tool-result', toolCallId, toolName, output: { type: 'text', value: '18 degrees' } }
// What it has got goes back as references to the items of the stored response.
const messages = [question, ...called.response.messages, { role: 'tool', content: [result] }]
const answered = await generateText({ ...request, messages, tools })
console.log(JSON.stringify({
  whole: whole.text,
  streamed,
  usage: await stream.usage,
  calls: called.toolCalls.map((call) => [call.toolName, Object.keys(call.input)]),
  answered: answered.finishReason,
}))
