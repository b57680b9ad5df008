// What the address of the page says: which results are looked for, which one is open, and what it is compared with.

import { useLocation, useParams, useSearch } from "wouter";

import { EVERYTHING, type Filter } from "./results";

const FIELDS = ["text", "job", "from", "to"] as const;
export type Asked = Omit<Filter, "among"> & { liked: boolean };

export function useAddress() {
  const [, navigate] = useLocation();
  const opened = useParams()["*"] ?? "";
  const search = new URLSearchParams(useSearch());
  const asked: Asked = { ...EVERYTHING, liked: search.has("liked") };
  for (const name of FIELDS) asked[name] = search.get(name) ?? "";
  const go = (key: string, replace = false) => {
    const path = key ? `/gallery/${key}` : "/gallery";
    navigate(`${path}?${search}`, { replace, state: replace ? (history.state as unknown) : null });
  };
  return {
    asked,
    opened,
    compared: search.get("with") ?? "",
    ask: (change: Partial<Asked>) => {
      const next = { ...asked, ...change };
      for (const name of FIELDS) put(search, name, next[name]);
      put(search, "liked", next.liked ? "1" : "");
      go(opened, true);
    },
    open: (key: string, replace = false) => go(key, replace),
    compare: (artifact: string, key = opened) => {
      put(search, "with", artifact);
      go(key, true);
    },
    close: () => {
      search.delete("with");
      const { back } = (history.state ?? {}) as { back?: string };
      if (back) navigate(`${back}?${search}`);
      else go("");
    },
  };
}

function put(search: URLSearchParams, name: string, value: string): void {
  if (value) search.set(name, value);
  else search.delete(name);
}
