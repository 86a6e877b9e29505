// Consumes events as a system outside Commonweal does, with amqplib, from a queue of its own:
//
//   node consume.mjs AMQP_URI EXCHANGE ROUTING_KEY QUEUE
//
// Prints a line of JSON when it is ready, and one for each event, which it acknowledges after that. An event that it has
// seen before is acknowledged only. Ends when its standard input does, and leaves the queue behind for the next time.
import amqp from 'amqplib';

const [uri, exchange, routingKey, queue] = process.argv.slice(2);
const seen = new Set();
const connection = await amqp.connect(uri, { timeout: 10_000 });
const channel = await connection.createChannel();
await channel.checkExchange(exchange);
await channel.assertQueue(queue, { durable: true });
await channel.bindQueue(queue, exchange, routingKey);
await channel.prefetch(10);
await channel.consume(queue, (message) => {
  const { headers, ...properties } = message.properties;
  const identity = `${headers['ce-source']} ${headers['ce-id']}`;
  if (!seen.has(identity)) {
    seen.add(identity);
    console.log(JSON.stringify({ fields: message.fields, properties, headers, data: JSON.parse(message.content) }));
  }
  channel.ack(message);
});
console.log(JSON.stringify({ ready: queue }));

process.stdin.resume();
process.stdin.on('end', () => connection.close());
