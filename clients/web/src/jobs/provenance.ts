// The generation data in a saved PNG: which job made it, from what. Written by the server's outputs folder.

import { isRecord } from "../forms/schema";
import type { Values } from "../forms/schema";

export interface Provenance {
  /** Of the job, on the server that ran it. */
  id?: string;
  job: string;
  inputs: Values;
  params: Values;
}

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const KEYWORD = "stable-core";

/** Return what made a picture, or null if it does not say. */
export function provenanceOf(png: ArrayBuffer): Provenance | null {
  const text = textOf(new DataView(png), KEYWORD);
  if (text === null) return null;
  try {
    const read: unknown = JSON.parse(text);
    if (!isRecord(read) || typeof read["job"] !== "string") return null;
    const { id, inputs, params } = read;
    return {
      ...(typeof id === "string" ? { id } : {}),
      job: read["job"],
      inputs: isRecord(inputs) ? inputs : {},
      params: isRecord(params) ? params : {},
    };
  } catch {
    return null;
  }
}

/** Return an uncompressed text chunk. Source: PNG specification, third edition, §11.3.3. */
function textOf(view: DataView, keyword: string): string | null {
  if (view.byteLength < 8 || !SIGNATURE.every((byte, at) => view.getUint8(at) === byte)) return null;
  for (let at = 8; at + 12 <= view.byteLength;) {
    const length = view.getUint32(at);
    const bytes = new Uint8Array(view.buffer, at + 8, Math.min(length, view.byteLength - at - 8));
    const kind = String.fromCharCode(...new Uint8Array(view.buffer, at + 4, 4));
    const end = bytes.indexOf(0);
    if (end > 0 && String.fromCharCode(...bytes.subarray(0, end)) === keyword) {
      if (kind === "tEXt") return new TextDecoder("latin1").decode(bytes.subarray(end + 1));
      // After the keyword: two bytes on compression, then the language and the translated keyword, each ended by 0.
      if (kind === "iTXt" && bytes[end + 1] === 0) {
        const language = bytes.indexOf(0, end + 3);
        return new TextDecoder().decode(bytes.subarray(bytes.indexOf(0, language + 1) + 1));
      }
    }
    at += 12 + length;
  }
  return null;
}
