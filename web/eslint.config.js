import a11y from "eslint-plugin-jsx-a11y";
import tseslint from "typescript-eslint";

export default tseslint.config(
  { ignores: ["node_modules", "src/api/schema.d.ts", "eslint.config.js", "scripts", "public"] },
  ...tseslint.configs.strictTypeChecked,
  a11y.flatConfigs.strict,
  {
    settings: { "jsx-a11y": { attributes: { for: ["for", "htmlFor"] } } },
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      "no-restricted-syntax": [
        "error",
        {
          selector: "JSXAttribute[name.name='dangerouslySetInnerHTML']",
          message: "Text stays text: what people and devices write is never made into HTML.",
        },
        { selector: "JSXAttribute[name.name='style'] > Literal", message: "Styles belong into the style sheet." },
      ],
      eqeqeq: "error",
      "@typescript-eslint/no-unused-vars": ["error", { ignoreRestSiblings: true }],
      "jsx-a11y/label-has-associated-control": ["error", { assert: "either" }],
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
      "@typescript-eslint/no-misused-promises": ["error", { checksVoidReturn: { attributes: false } }],
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      "@typescript-eslint/no-unnecessary-condition": "error",
    },
  },
);
