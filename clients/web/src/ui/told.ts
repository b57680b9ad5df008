// What a button does that asks the server: an error is shown as the server said it. It knows no request.

import { notifications } from "@mantine/notifications";

import { ApiError } from "../api/http";

/** Return a handler that does something and tells what went wrong, if anything did. */
export const told = (act: () => Promise<unknown>) => () => {
  act().catch(tell);
};

export function tell(error: unknown): void {
  const { message, hint } = error instanceof ApiError ? error : new ApiError(0, "", String(error), "");
  notifications.show({ color: "red", title: message, message: hint });
}
