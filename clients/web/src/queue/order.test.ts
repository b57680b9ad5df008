import { describe, expect, it } from "vitest";

import { inRunOrder, moved, prioritiesFor } from "./order";

const job = (id: string, priority = 0) => ({ id, priority, created: id.charCodeAt(0) });
const queue = (text: string) => Array.from(text).map((id) => job(id));

/** Move a job and return the order that the server would run them in with the new priorities, and how many changed. */
function ordered(jobs: ReturnType<typeof job>[], from: number, to: number): [string, number] {
  const changes = prioritiesFor(moved(jobs, from, to));
  const now = jobs.map((one) => ({ ...one, priority: changes[one.id] ?? one.priority }));
  return [
    inRunOrder(now)
      .map(({ id }) => id)
      .join(""),
    Object.keys(changes).length,
  ];
}

describe("the order of the queue", () => {
  it("is priority first, then age", () => {
    expect(
      inRunOrder([job("c"), job("a"), job("b", 2), job("d", -1)])
        .map(({ id }) => id)
        .join(""),
    ).toBe("bacd");
  });
  it("changes with one job where that is enough", () => {
    expect(ordered(queue("abcd"), 3, 0)).toEqual(["dabc", 1]);
    expect(ordered(queue("abcd"), 0, 3)).toEqual(["bcda", 1]);
    expect(ordered(queue("abcd"), 1, 1)).toEqual(["abcd", 0]);
  });
  it("can be any order", () => {
    const jobs = [job("x", 3), job("b", 3), job("a", 1), job("c", 1), job("y", 0)];
    const start = inRunOrder(jobs);
    for (let from = 0; from < start.length; from++) {
      for (let to = 0; to < start.length; to++) {
        const wanted = moved(start, from, to)
          .map(({ id }) => id)
          .join("");
        expect(ordered(start, from, to)[0]).toBe(wanted);
      }
    }
  });
  it("stays the same for a second move", () => {
    const [first] = [moved(queue("abcde"), 4, 1)];
    const changes = prioritiesFor(first);
    const now = inRunOrder(queue("abcde").map((one) => ({ ...one, priority: changes[one.id] ?? 0 })));
    expect(now.map(({ id }) => id).join("")).toBe("aebcd");
    expect(ordered(now, 2, 1)[0]).toBe("abecd");
  });
});
