// A queue to mails, as a Node user writes it: amqplib, nunjucks (the same templates), a nodemailer pool of two.
// Settings come from the environment: BROKER_URL, QUEUE, SMTP_HOST, SMTP_PORT, TEMPLATES.
"use strict";

const amqplib = require("amqplib");
const nodemailer = require("nodemailer");
const nunjucks = require("nunjucks");

const { BROKER_URL, QUEUE, SMTP_HOST, SMTP_PORT, TEMPLATES } = process.env;
const PREFETCH = 100;

const loader = new nunjucks.FileSystemLoader(TEMPLATES, { watch: false });
const html = new nunjucks.Environment(loader, { autoescape: true }).getTemplate("body.html.j2", true);
const text = new nunjucks.Environment(loader, { autoescape: false }).getTemplate("body.txt.j2", true);

const transport = nodemailer.createTransport({
  host: SMTP_HOST,
  port: Number(SMTP_PORT),
  pool: true,
  maxConnections: 2,
  maxMessages: Infinity,
  ignoreTLS: true,
});

function filename(content, step) {
  return `${content.request.instance}_${step.number}_${step.name}_${step.endpoint}(${step.execution_id}).log`;
}

function compose(event) {
  const content = event.data;
  return {
    messageId: `<${event.id}@corp.example>`,
    from: "Deployments <deploy@corp.example>",
    to: content.recipients.to.map(({ name, email }) => ({ name, address: email })),
    subject: `${content.request.title}: completed`,
    headers: { "Auto-Submitted": "auto-generated" },
    text: text.render(content),
    html: html.render(content),
    attachments: content.steps
      .filter((step) => step.log)
      .map((step) => ({ filename: filename(content, step), content: step.log.text, contentType: "text/plain" })),
  };
}

async function main() {
  const connection = await amqplib.connect(BROKER_URL);
  const channel = await connection.createChannel();
  await channel.prefetch(PREFETCH);
  let stopping = false;
  const open = new Set();
  const { consumerTag } = await channel.consume(QUEUE, (delivery) => {
    if (delivery === null || stopping) return;
    const sent = transport
      .sendMail(compose(JSON.parse(delivery.content)))
      .then(() => channel.ack(delivery))
      .finally(() => open.delete(sent));
    open.add(sent);
  });
  process.on("SIGTERM", async () => {
    stopping = true;
    await channel.cancel(consumerTag);
    // What is in the pool is sent and acked: at most the prefetch.
    await Promise.all(open);
    await channel.close();
    await connection.close();
    transport.close();
    process.exit(0);
  });
}

main();
