// An ordinary Slack app on @slack/bolt, unmodified. It says "ready" on standard output once it is connected.
"use strict";

const { App, LogLevel } = require("@slack/bolt");

const app = new App({
  token: process.env.SLACK_BOT_TOKEN,
  appToken: process.env.SLACK_APP_TOKEN,
  socketMode: true,
  clientOptions: { slackApiUrl: process.env.SLACK_API_URL },
  logLevel: LogLevel.ERROR,
});

const plain = (text) => ({ type: "plain_text", text });

app.event("app_mention", async ({ event, client }) => {
  const elements = [{ type: "button", action_id: "go", text: plain("Go"), value: "1" }];
  await client.chat.postMessage({
    channel: event.channel,
    thread_ts: event.ts,
    text: "here",
    blocks: [{ type: "actions", elements }],
    metadata: { event_type: "outbox", event_payload: { id: "js" } },
  });
});

app.action("go", async ({ ack, body, client }) => {
  await ack();
  const element = { type: "plain_text_input", action_id: "text" };
  await client.views.open({
    trigger_id: body.trigger_id,
    view: {
      type: "modal",
      callback_id: "reason",
      private_metadata: JSON.stringify({ channel: body.channel.id, ts: body.message.ts }),
      title: plain("Why?"),
      submit: plain("Send"),
      blocks: [{ type: "input", block_id: "why", label: plain("Reason"), element }],
    },
  });
});

app.view("reason", async ({ ack, view, client }) => {
  const reason = view.state.values.why.text.value;
  if (reason === "bad") {
    await ack({ response_action: "errors", errors: { why: "Say more." } });
    return;
  }
  await ack();
  const { channel, ts } = JSON.parse(view.private_metadata);
  await client.chat.update({ channel, ts, text: `decided: ${reason}` });
});

app.command("/agent", async ({ ack, command, respond }) => {
  await ack(`You said ${command.text}.`);
  await respond({ text: "and later", response_type: "in_channel" });
});

app.shortcut("diagnose_message", async ({ ack, shortcut, client }) => {
  await ack();
  await client.files.uploadV2({
    channel_id: shortcut.channel.id,
    thread_ts: shortcut.message.ts,
    file: Buffer.from("evidence"),
    filename: "evidence.txt",
    initial_comment: "Evidence",
  });
});

app.event("app_home_opened", async ({ event, client }) => {
  await client.views.publish({ user_id: event.user, view: { type: "home", blocks: [{ type: "divider" }] } });
});

app.message(/^stream$/, async ({ message, client, context }) => {
  const streamer = client.chatStream({
    channel: message.channel,
    thread_ts: message.ts,
    recipient_team_id: context.teamId,
    recipient_user_id: message.user,
    buffer_size: 1,
  });
  await streamer.append({ markdown_text: "one " });
  await streamer.append({ markdown_text: "two" });
  await streamer.stop();
});

app.message(/^refuse$/, async ({ message, client }) => {
  try {
    await client.chat.postMessage({ channel: message.channel, text: "x", blocks: [{ type: "section" }] });
  } catch (error) {
    await client.reactions.add({ channel: message.channel, timestamp: message.ts, name: error.data.error });
  }
});

app.start().then(() => console.log("ready"));
