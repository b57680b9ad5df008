// The results that somebody likes, kept for the user: by artifact, with the job that made each.

import { useMemo } from "react";

import { userData, useUserData } from "../api/userData";
import { told } from "../ui/told";
import type { Result } from "./results";

const PREFIX = "favourite.";
export const favouriteKey = (artifact: string): string => PREFIX + artifact;

export function useFavourites() {
  const { values, isKnown } = useUserData();
  return useMemo(() => {
    const has = (artifact: string) => Boolean(values[favouriteKey(artifact)]);
    const jobs = Object.entries(values).flatMap(([name, job]) =>
      name.startsWith(PREFIX) && typeof job === "string" ? [job] : [],
    );
    return {
      isKnown,
      has,
      jobs: [...new Set(jobs)].sort().reverse(),
      toggle: ({ artifact, job }: Result) =>
        told(() => userData.put({ [favouriteKey(artifact.id)]: has(artifact.id) ? null : job.id }))(),
    };
  }, [values, isKnown]);
}

export type Favourites = ReturnType<typeof useFavourites>;
