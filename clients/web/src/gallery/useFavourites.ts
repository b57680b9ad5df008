// The results that somebody likes, kept in the browser: by artifact, with the job that made each.

import { useLocalStorage } from "@mantine/hooks";

import type { Result } from "./results";

export function useFavourites() {
  const [liked, setLiked] = useLocalStorage<Record<string, string>>({
    key: "favourite-results",
    defaultValue: {},
    getInitialValueInEffect: false,
  });
  return {
    has: (artifact: string) => artifact in liked,
    jobs: [...new Set(Object.values(liked))].sort().reverse(),
    toggle: ({ artifact, job }: Result) =>
      setLiked(({ [artifact.id]: known, ...others }) =>
        known ? others : { ...others, [artifact.id]: job.id },
      ),
  };
}

export type Favourites = ReturnType<typeof useFavourites>;
