// What the server says of the knobs while they are typed, before anything runs.

import { useDebouncedValue } from "@mantine/hooks";
import { keepPreviousData, useQuery } from "@tanstack/react-query";

import { ApiError } from "../api/http";
import { checkParams } from "../api/queries";
import { problemsOf } from "./problems";

const PAUSE_MS = 350;
const NONE: Record<string, string> = {};

/** Return what is wrong with the params of a job, by the dotted path of the knob. */
export function useProblems(
  job: string | undefined,
  params: Record<string, unknown>,
): Record<string, string> {
  const [settled] = useDebouncedValue(JSON.stringify(params), PAUSE_MS);
  const { data = NONE } = useQuery({
    queryKey: ["check", job, settled],
    enabled: job !== undefined && settled !== "{}",
    placeholderData: keepPreviousData,
    retry: false,
    queryFn: async () => {
      try {
        await checkParams(job ?? "", JSON.parse(settled) as Record<string, unknown>);
        return NONE;
      } catch (error) {
        return error instanceof ApiError ? problemsOf(error) : NONE;
      }
    },
  });
  return settled === "{}" ? NONE : data;
}
