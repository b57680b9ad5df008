// Until when the finished jobs were cleared from the queue; kept for the user, so that every page shows the same.

import { userData, useUserData } from "../api/userData";
import { told } from "../ui/told";

export const CLEARED = "queue.cleared";

/** Return until when, in seconds since 1970, and what clears up to a time; before anybody knows, all is cleared. */
export function useCleared(): { cleared: number; clear: (until: number) => void } {
  const { values, isKnown } = useUserData();
  return {
    cleared: isKnown ? Number(values[CLEARED] ?? 0) : Infinity,
    clear: (until) => told(() => userData.put({ [CLEARED]: until }))(),
  };
}
