// What earlier versions kept in the browser alone goes to the server, once. It is no place for anything new.

import { userData } from "../api/userData";
import { isRecord } from "../forms/schema";
import { CLEARED } from "../queue/cleared";
import { favouriteKey } from "../gallery/useFavourites";

const FAVOURITES = "favourite-results";
const QUEUE_CLEARED = "queue-cleared";

/** Put what was kept here to the user data; it is forgotten here only when the server has it. */
export async function takeOver(): Promise<void> {
  const found: Record<string, unknown> = {};
  const liked = read(FAVOURITES);
  if (isRecord(liked))
    for (const [artifact, job] of Object.entries(liked)) found[favouriteKey(artifact)] = job;
  const cleared = Number(read(QUEUE_CLEARED));
  if (cleared > Number(userData.getSnapshot().values[CLEARED] ?? 0)) found[CLEARED] = cleared;
  if (Object.keys(found).length) await userData.put(found);
  for (const key of [FAVOURITES, QUEUE_CLEARED]) localStorage.removeItem(key);
}

function read(key: string): unknown {
  try {
    return JSON.parse(localStorage.getItem(key) ?? "null");
  } catch {
    return null;
  }
}
