// Reads AsyncAPI documents with the official parser:
//
//   node validate.mjs FILE...
//
// Prints a line of JSON for each: whether it could be read, how many operations it has, and what is wrong with it by the
// parser: severity (0 is an error, 1 a warning), code, path and message.
import { readFile } from 'node:fs/promises';
import { Parser } from '@asyncapi/parser';

for (const file of process.argv.slice(2)) {
  const { document, diagnostics } = await new Parser().parse(await readFile(file, 'utf8'));
  console.log(
    JSON.stringify({
      parsed: document !== undefined,
      operations: document?.operations().length ?? 0,
      diagnostics: diagnostics.map(({ severity, code, path, message }) => ({ severity, code, path, message })),
    }),
  );
}
