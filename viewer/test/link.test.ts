import { describe, expect, it } from "vitest";
import { linkTo, parseLink } from "../src/link";

describe("links", () => {
  it("name an instant", () => expect(parseLink(linkTo(3, 8.45))).toEqual({ number: 3, time: 8.45 }));
  it("may be incomplete", () => expect(parseLink("#episode=3")).toEqual({ number: 3, time: null }));
  it.each(["", "#", "#t=-1", "#episode=NaN&t=x", "#episode=&t=", "#<script>"])("ignore nonsense: %s", (hash) =>
    expect(parseLink(hash)).toEqual({ number: null, time: null }),
  );
});
