// Publishes an event as a system outside Commonweal does, with amqplib:
//
//   node publish.mjs AMQP_URI binary|structured [TIMES] < event.json
//
// The event is a CloudEvent as JSON: id, source, type, subject, time, sequence, data. Ends with 0 once the broker has
// confirmed each message, and with 1 when one of them met no queue.
import { text } from 'node:stream/consumers';
import amqp from 'amqplib';

const [uri, mode, times = '1'] = process.argv.slice(2);
const event = { specversion: '1.0', ...JSON.parse(await text(process.stdin)) };
const [, source, name] = event.type.split('.');

function message() {
  if (mode === 'structured') {
    const body = { ...event, datacontenttype: 'application/json' };
    return { contentType: 'application/cloudevents+json', headers: {}, body };
  }
  const { data, ...attributes } = event;
  const headers = Object.fromEntries(
    Object.entries(attributes).map(([attribute, value]) => [`ce-${attribute}`, String(value)]),
  );
  return { contentType: 'application/json', headers, body: data };
}

const connection = await amqp.connect(uri, { timeout: 10_000 });
const channel = await connection.createConfirmChannel();
channel.on('return', ({ fields }) => {
  console.error(`no queue takes it (${fields.exchange}, ${fields.routingKey})`);
  process.exitCode = 1;
});
const { contentType, headers, body } = message();
for (let sent = 0; sent < Number(times); sent += 1) {
  channel.publish(`${source}.events`, name, Buffer.from(JSON.stringify(body)), {
    contentType,
    headers,
    messageId: event.id,
    userId: decodeURIComponent(new URL(uri).username),
    persistent: true,
    mandatory: true,
  });
}
await channel.waitForConfirms();
await connection.close();
