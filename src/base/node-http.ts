/**
 * What is used of `node:http` at run time. Its ES module has every export looked at, and so loads Node's own fetch,
 * which nobody asks for here: a tenth of the start, and 13 MB.
 */
export const { createServer, IncomingMessage, request, ServerResponse, STATUS_CODES } =
  process.getBuiltinModule('node:http')
