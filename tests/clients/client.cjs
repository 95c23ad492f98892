// What the openai package of Node makes of a Weir; prints one JSON object. node client.cjs BASE_URL
const OpenAI = require("openai");

async function main() {
  const client = new OpenAI({ baseURL: process.argv[2], apiKey: "anything", maxRetries: 0 });
  const ask = (content) => ({ model: "m", messages: [{ role: "user", content }] });
  const failed = async (work) => {
    try {
      await work();
      return null;
    } catch (error) {
      return [error.constructor.name, error.status, error.code];
    }
  };
  const tools = [{ type: "function", function: { name: "get_weather", parameters: { type: "object", properties: {} } } }];
  const out = {};
  const whole = async (text, more = {}) => (await client.chat.completions.create({ ...ask(text), ...more })).choices[0];
  out.pass = (await whole("hello, I am ann@example.com")).message.content;
  out.redacted = (await whole("contact")).message.content;
  const cut = await whole("codename");
  out.cut = [cut.message.content, cut.finish_reason];
  out.tool = JSON.parse((await whole("weather", { tools })).message.tool_calls[0].function.arguments);
  out.blocked = await failed(() => whole("the bluebird"));
  out.failed = await failed(() => whole("fail"));

  const streamed = async (text) => {
    let said = "", finish = null;
    for await (const chunk of await client.chat.completions.create({ ...ask(text), stream: true })) {
      said += chunk.choices[0]?.delta?.content ?? "";
      finish = chunk.choices[0]?.finish_reason ?? finish;
    }
    return [said, finish];
  };
  out.streamed = [await streamed("contact"), await streamed("codename")];
  out.helper = await client.chat.completions.stream({ ...ask("weather"), tools }).finalChatCompletion().then(
    (made) => JSON.parse(made.choices[0].message.tool_calls[0].function.arguments));
  out.streamBlocked = await failed(() => streamed("the bluebird"));

  out.responses = (await client.responses.create({ model: "m", input: "contact" })).output_text;
  const events = [];
  for await (const event of await client.responses.create({ model: "m", input: "codename", stream: true })) events.push(event);
  const last = events.at(-1);
  out.responsesCut = [last.type, last.response.incomplete_details.reason];
  out.responsesBlocked = await failed(() => client.responses.create({ model: "m", input: "the bluebird" }));
  console.log(JSON.stringify(out));
}

main();
