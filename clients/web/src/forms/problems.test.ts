import { describe, expect, it } from "vitest";

import { problemsOf } from "./problems";

describe("problemsOf", () => {
  it("tells each knob what is wrong with it", () => {
    const message =
      'steps: 900 is greater than the maximum of 150; hires.scale: "x; y" is not of type "number"';
    expect(problemsOf({ status: 422, message, hint: "" })).toEqual({
      steps: "900 is greater than the maximum of 150",
      "hires.scale": '"x; y" is not of type "number"',
    });
  });
  it("tells ports too, with what to do", () => {
    expect(
      problemsOf({ status: 422, message: "image.blur needs the input 'image'", hint: "It takes image." }),
    ).toEqual({ image: "image.blur needs the input 'image'. It takes image." });
    expect(
      problemsOf({ status: 422, message: "'mask' takes mask, not text", hint: "Upload it." }),
    ).toHaveProperty("mask");
  });
  it("says nothing of other errors", () => {
    expect(problemsOf({ status: 500, message: "steps: broken", hint: "" })).toEqual({});
  });
});
