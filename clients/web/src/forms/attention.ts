// Ctrl+↑ and Ctrl+↓ in a prompt: the weight of the selected words, as (words:1.1). The syntax is that of A1111.

export interface Selection {
  text: string;
  start: number;
  end: number;
}

const STEP = 0.1;
const WEIGHTED = /^\(([\s\S]*):(\d*\.?\d+)\)$/;

/** Return the text with the weight of the selection changed by one step up or down, and the new selection. */
export function changeAttention({ text, start, end }: Selection, direction: 1 | -1): Selection {
  let [from, to] = start === end ? wordAround(text, start) : [start, end];
  if (from === to) return { text, start, end };
  // A selection inside of (words:1.2) means those words.
  const before = text.slice(0, from).match(/\($/);
  const after = text.slice(to).match(/^:\d*\.?\d+\)/);
  if (before && after) [from, to] = [from - 1, to + after[0].length];
  const selected = text.slice(from, to);
  const [, words = selected, weight = "1"] = WEIGHTED.exec(selected) ?? [];
  const next = Math.round((Number(weight) + direction * STEP) * 100) / 100;
  if (next < 0) return { text, start, end };
  const made = next === 1 ? words : `(${words}:${next})`;
  const inner = next === 1 ? from : from + 1;
  return { text: text.slice(0, from) + made + text.slice(to), start: inner, end: inner + words.length };
}

function wordAround(text: string, position: number): [number, number] {
  const isWord = (index: number) => /[^\s,()[\]:|]/.test(text.charAt(index));
  let start = position;
  let end = position;
  while (start > 0 && isWord(start - 1)) start--;
  while (end < text.length && isWord(end)) end++;
  return [start, end];
}
