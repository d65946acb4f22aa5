/** The kinds of streams that a person may want, in words; each is a schema and a datatype. */
export interface Preset {
  readonly key: string;
  readonly text: string;
  readonly schema: string;
  readonly datatype: string;
}

const preset = (key: string, text: string, schema: object, datatype = ""): Preset => ({
  key,
  text,
  schema: JSON.stringify(schema),
  datatype,
});

export const PRESETS: readonly Preset[] = [
  preset("number", "A number, such as a temperature", { type: "number" }),
  preset("integer", "A whole number, such as steps", { type: "integer" }),
  preset("range", "A number with bounds, entered with a slider", { type: "number", minimum: 0, maximum: 100 }),
  preset("stars", "A rating in stars, from 1 to 10", { type: "integer", minimum: 1, maximum: 10 }, "rating.stars"),
  preset("boolean", "Yes or no, on or off", { type: "boolean" }),
  preset("choice", "One of several", { type: "string", enum: ["good", "so-so", "bad"] }),
  preset("text", "A line of text", { type: "string" }, "string.text"),
  preset("diary", "A diary", { type: "string", minLength: 1 }, "log.diary"),
  preset(
    "place",
    "A place on the map",
    {
      type: "object",
      properties: {
        latitude: { type: "number", minimum: -90, maximum: 90 },
        longitude: { type: "number", minimum: -180, maximum: 180 },
      },
      required: ["latitude", "longitude"],
    },
    "location.gps",
  ),
  preset("object", "Several values at once", {
    type: "object",
    properties: { weight: { type: "number" }, fat: { type: "number" } },
    required: ["weight"],
  }),
  preset("any", "Anything", {}),
];

/** Datatypes that the app knows how to show and to ask for. */
export const DATATYPES = ["rating.stars", "log.diary", "string.text", "location.gps", "number.temperature", "toggle"] as const;
