// Parts a growing Markdown text into blocks that nothing can change any more, and the rest.
import { Marked } from "../vendor/marked-18.2.1/marked.esm.js";
import { formulas } from "./formulas.js";

export const lexer = new Marked({ gfm: true }, formulas);
const MAY_GO_ON = /^(?:\s|[-+*]|\d)/; // perhaps the next item of the list before it

const endsInBlankLine = ({ type, raw }) => type === "space" || raw.endsWith("\n\n");

/**
 * Returns the tokens of `source`, of which the first `count`, over `length` characters, are final.
 * Their own raw texts do not tell: marked joins some blocks and adds line breaks to them. So the
 * rest is read once more alone, and nothing is final unless it reads the same.
 * @param {string} source
 */
export function blocks(source) {
  const tokens = lexer.lexer(source);
  const { count, length } = settled(tokens, source);
  const same = count && readsTheSame(tokens.slice(count), source.slice(length));
  return same ? { tokens, count, length } : { tokens, count: 0, length: 0 };
}

// The first blocks, as far as a blank line follows them.
function settled(tokens, source) {
  let last = tokens.length - 1;
  while (last > 0 && tokens[last].type === "space") last--;
  while (last > 0 && !isFinal(tokens, last)) last--;
  let [count, length] = [0, 0];
  while (count < last && source.startsWith(tokens[count].raw, length))
    length += tokens[count++].raw.length;
  return { count, length };
}

function isFinal(tokens, next) {
  if (!endsInBlankLine(tokens[next - 1])) return false;
  const before = tokens[next - 1].type === "space" ? tokens[next - 2] : tokens[next - 1];
  return before?.type !== "list" || !MAY_GO_ON.test(tokens[next].raw);
}

function readsTheSame(tokens, source) {
  const again = lexer.lexer(source);
  return again.length === tokens.length && again.every(({ raw }, at) => raw === tokens[at].raw);
}
