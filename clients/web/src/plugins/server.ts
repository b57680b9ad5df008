// What the server says of its plugins, hosts and workers, asked again and again while somebody looks. It draws nothing.

import { queryOptions, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";

import { request } from "../api/http";
import { SIGNATURES, useSignatures } from "../api/queries";
import type { Host, Plugin, Worker } from "../api/types";

export type { Host, Plugin, Worker };

const REFRESH_MS = 2000;

export const fetchHosts = () => request<Host[]>("GET", "/v1/hosts");
export const restartPlugin = (name: string) => request<Host[]>("POST", `/v1/plugins/${name}/restart`, {});

export const useHosts = () =>
  useQuery({ queryKey: ["hosts"], queryFn: fetchHosts, refetchInterval: REFRESH_MS });

const hasAnnounced = ({ error, signatures }: Plugin) => Boolean(error) || signatures.length > 0;
const askWhile = (isWanted: (plugin: Plugin) => boolean) =>
  queryOptions({
    queryKey: ["plugins"],
    queryFn: () => request<Plugin[]>("GET", "/v1/plugins"),
    refetchInterval: ({ state }) => (state.data?.some(isWanted) ? REFRESH_MS : false),
  });

/** Ask for the plugins, and again while one of them is still being set up or has to be installed. */
export const usePlugins = () =>
  useQuery(askWhile((plugin) => !hasAnnounced(plugin) || !(plugin.error || plugin.installed)));

/** See to it that the jobs are known of a plugin that announces them only after the page was opened. */
export function useLateSignatures(): void {
  const queries = useQueryClient();
  const { data: known } = useSignatures();
  const { data: plugins } = useQuery(askWhile((plugin) => !hasAnnounced(plugin)));
  const missing = missingFrom(known ?? [], plugins ?? []).join();
  const isLoaded = known !== undefined;
  useEffect(() => {
    if (isLoaded && missing) void queries.invalidateQueries(SIGNATURES);
  }, [isLoaded, missing, queries]);
}

/** Return the names that plugins announced and of which the signatures are not known. */
export function missingFrom(known: readonly { name: string }[], plugins: readonly Plugin[]): string[] {
  const names = new Set(known.map(({ name }) => name));
  return plugins.flatMap(({ signatures }) => signatures.filter((name) => !names.has(name)));
}

/** Tell whether a worker is a plugin's; the one for its light jobs is called `sd (light)`. */
export const isOf = (worker: Worker, plugin: Plugin): boolean =>
  worker.plugin === plugin.name || worker.plugin.startsWith(`${plugin.name} (`);

export type PluginState =
  "broken" | "being set up" | "working" | "loaded" | "ready" | "installs at first use";

/** Say in a word how a plugin is doing. */
export function stateOf(plugin: Plugin, workers: readonly Worker[]): PluginState {
  if (plugin.error) return "broken";
  if (workers.some(({ state }) => state === "busy")) return "working";
  if (workers.length) return "loaded";
  if (!plugin.signatures.length) return "being set up";
  return plugin.installed ? "ready" : "installs at first use";
}

/** Return a number of bytes as people say it. */
export function sizeOf(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const power = bytes < 1 ? 0 : Math.min(Math.floor(Math.log2(bytes) / 10), units.length - 1);
  const value = bytes / 1024 ** power;
  return `${value < 10 && power ? value.toFixed(1) : Math.round(value)} ${units[power]}`;
}
