// node grpc_client.js 127.0.0.1:50051 sk-fb-… smollm2-135m, in the folder that has `proto`.
// npm install @grpc/grpc-js @grpc/proto-loader
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const [address, key, model] = process.argv.slice(2);
const options = { includeDirs: ['proto'], keepCase: true, longs: Number, defaults: true };
const found = loader.loadSync('forebay/v1/inference.proto', options);
const { InferenceService } = grpc.loadPackageDefinition(found).forebay.v1;
const client = new InferenceService(address, grpc.credentials.createInsecure());

const metadata = new grpc.Metadata();
metadata.set('authorization', `Bearer ${key}`);
const messages = [{ role: 'user', content: 'What is a forebay?' }];
const asked = { model, messages, max_tokens: 32 };
const stream = client.ChatStream(asked, metadata, { deadline: Date.now() + 60_000 });
stream.on('data', (event) => process.stdout.write(event.text));
stream.on('end', () => console.log());
stream.on('error', (error) => console.error(grpc.status[error.code], error.details));
