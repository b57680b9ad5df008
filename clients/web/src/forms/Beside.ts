// The knobs of the form that a field stands in, for fields that need to know others.

import { createContext } from "react";

export const Beside = createContext<Record<string, unknown>>({});
