// Makes calls with PostHog's agent toolkit against a Gavel, and prints their answers as a JSON list, in order.
// Standard input: {"host": "http://127.0.0.1:…", "key": "phx_…", "calls": [{"tool": …, "arguments": {…}} or
// {"method": "get", "path": "/api/projects/{project_id}/…", "parameters": {"path": {…}, "query": {…}, "body": {…}}}]}.
// The second form is for the toolkit's inner client, which PostHog generates from its OpenAPI document.
import { readFileSync } from "node:fs";

import { PostHogAgentToolkit } from "@posthog/agent-toolkit/tools";

const { host, key, calls } = JSON.parse(readFileSync(0, "utf8"));
const toolkit = new PostHogAgentToolkit({ posthogApiToken: key, posthogApiBaseUrl: host });
const context = toolkit.getContext();
const tools = new Map((await toolkit.getTools()).map((tool) => [tool.name, tool]));

async function call({ tool: name, arguments: given, method, path, parameters }) {
  if (method) return context.api.generated[method](path, parameters);
  const tool = tools.get(name);
  if (!tool) throw new Error(`the toolkit does not offer ${name} to this key`);
  const answer = await tool.handler(context, tool.schema.parse(given ?? {}));
  return answer.content[0].text;
}

const answers = [];
for (const each of calls) {
  try {
    answers.push({ answer: (await call(each)) ?? null });
  } catch (error) {
    answers.push({ error: String(error.message ?? error) });
  }
}
console.log(JSON.stringify(answers));
