// What is kept on the server for its user, the same on every device: by name, any JSON each. It knows no name.
//
// A change is seen here at once, and everywhere when the server tells; one that the server refuses is taken back.

import { useSyncExternalStore } from "react";

import { canonical } from "../forms/schema";
import { request } from "./http";
import { liveJobs } from "./liveJobs";

type Values = Readonly<Record<string, unknown>>;

export interface UserDataSnapshot {
  values: Values;
  /** Whether the server has told yet what there is. */
  isKnown: boolean;
}

export class UserData {
  /** What the server has told. */
  private told: Values = {};
  /** What it has not told yet, in the order in which it was sent. */
  private sent: Values[] = [];
  /** What it told while everything is being fetched, which may be older. */
  private meanwhile: Values[] | null = null;
  private snapshot: UserDataSnapshot = { values: {}, isKnown: false };
  private readonly listeners = new Set<() => void>();

  constructor(private readonly send: (method: string, body?: Values) => Promise<Values>) {}

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  readonly getSnapshot = (): UserDataSnapshot => this.snapshot;

  /** Fetch everything, after a time in which nothing was heard. */
  async load(): Promise<void> {
    this.meanwhile = [];
    try {
      const all = await this.send("GET");
      this.told = this.meanwhile.reduce(merged, all);
      this.changed(true);
    } finally {
      this.meanwhile = null;
    }
  }

  /** Keep values; null forgets one. It is refused with the error of the server. */
  async put(values: Values): Promise<void> {
    this.sent = [...this.sent, values];
    this.changed();
    try {
      await this.send("PUT", values);
      if (this.sent.includes(values)) this.apply(values);
    } finally {
      this.forget((one) => one === values);
    }
  }

  /** Take what the server tells of a change, wherever it was made. Changes are told in the order in which they happened. */
  apply(values: Values): void {
    this.meanwhile?.push(values);
    this.told = merged(this.told, values);
    this.forget((one) => canonical(one) === canonical(values));
  }

  /** Stop waiting for the first that is told or refused. */
  private forget(isIt: (values: Values) => boolean): void {
    const found = this.sent.find(isIt);
    this.sent = this.sent.filter((one) => one !== found);
    this.changed();
  }

  private changed(isKnown = this.snapshot.isKnown): void {
    this.snapshot = { values: this.sent.reduce(merged, this.told), isKnown };
    for (const listener of this.listeners) listener();
  }
}

const merged = (values: Values, changes: Values): Values =>
  Object.fromEntries(Object.entries({ ...values, ...changes }).filter(([, value]) => value !== null));

export const userData = new UserData((method, body) => request<Values>(method, "/v1/user-data", body));
export const useUserData = (): UserDataSnapshot =>
  useSyncExternalStore(userData.subscribe, userData.getSnapshot);

/** Keep the user data in step with the server for as long as the page is open; `onKnown` is called when all was fetched. */
export function keepUserDataInStep(onKnown: () => Promise<void>): void {
  let wasLive = false;
  liveJobs.follow(({ type, data }) => {
    if (type === "user_data.changed") userData.apply(data as Values);
  });
  liveJobs.subscribe(() => {
    const isLive = liveJobs.getSnapshot().connection === "live";
    // What goes wrong is tried again with the next connection.
    if (isLive && !wasLive) {
      userData
        .load()
        .then(onKnown)
        .catch(() => undefined);
    }
    wasLive = isLive;
  });
}
