// The conformance suite of MCP imports a function that Node has from version 22 on, for a report
// that the tests do not ask for. With this module, it runs on the Node of Debian, too.
import { register } from "node:module";

const data = (text) => `data:text/javascript,${encodeURIComponent(text)}`;
const fs = data('export * from "node:fs"; export const globSync = undefined;');
register(
  data(`export const resolve = (name, context, next) =>
    name === "fs" && context.parentURL?.includes("/conformance/")
      ? { url: ${JSON.stringify(fs)}, shortCircuit: true }
      : next(name, context);`),
);
