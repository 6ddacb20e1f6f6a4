import js from "@eslint/js";
import ts from "typescript-eslint";

export default ts.config(
  { ignores: ["node_modules", "dist"] },
  js.configs.recommended,
  ...ts.configs.strict,
  {
    files: ["**/*.ts"],
    rules: { "@typescript-eslint/no-non-null-assertion": "off", "max-lines": ["error", 300] },
  },
  { files: ["build.mjs"], languageOptions: { globals: { process: "readonly", console: "readonly", URL: "readonly" } } },
);
