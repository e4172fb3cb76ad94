// What pytest handed over, and where it takes back what was made here.
import { readFileSync, writeFileSync } from "node:fs";

export const given = JSON.parse(readFileSync(process.env.GIVEN, "utf8"));
export const made = (value) => writeFileSync(process.env.MADE, JSON.stringify(value));
