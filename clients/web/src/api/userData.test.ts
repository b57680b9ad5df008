import { describe, expect, it } from "vitest";

import { UserData } from "./userData";

/** Return user data of a server that answers when it is told to. */
function slow() {
  const waiting: { answer: (values: Record<string, unknown>) => void; refuse: () => void }[] = [];
  const made = new UserData(
    () =>
      new Promise((answer, refuse) => {
        waiting.push({ answer, refuse: () => refuse(new Error("refused")) });
      }),
  );
  return { made, waiting, values: () => made.getSnapshot().values };
}

describe("user data", () => {
  it("is changed here at once, and stays so when the server has it", async () => {
    const { made, waiting, values } = slow();
    const put = made.put({ colour: "teal" });
    expect(values()).toEqual({ colour: "teal" });
    waiting[0]?.answer({});
    await put;
    expect(values()).toEqual({ colour: "teal" });
    made.apply({ colour: null });
    expect(values()).toEqual({});
  });
  it("is as before when the server refuses", async () => {
    const { made, waiting, values } = slow();
    made.apply({ colour: "teal" });
    const put = made.put({ colour: "red" });
    waiting[0]?.refuse();
    await expect(put).rejects.toThrow("refused");
    expect(values()).toEqual({ colour: "teal" });
  });
  it("ends as the server has it, whoever was last and whatever comes first", async () => {
    const { made, waiting, values } = slow();
    const put = made.put({ colour: "mine" });
    made.apply({ colour: "mine" });
    made.apply({ colour: "theirs" });
    waiting[0]?.answer({});
    await put;
    expect(values()).toEqual({ colour: "theirs" });
  });
  it("is fetched without losing what happens meanwhile", async () => {
    const { made, waiting, values } = slow();
    const load = made.load();
    expect(made.getSnapshot().isKnown).toBe(false);
    made.apply({ colour: "new" });
    waiting[0]?.answer({ colour: "old", size: 1 });
    await load;
    expect(values()).toEqual({ colour: "new", size: 1 });
    expect(made.getSnapshot().isKnown).toBe(true);
  });
});
