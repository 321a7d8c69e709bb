// Validates an OpenAPI description, a file, against the schema of its version, and prints that version.
import { Validator } from "@seriousme/openapi-schema-validator";

const validator = new Validator();
const { valid, errors } = await validator.validate(process.argv[2]);
if (!valid) {
	console.error(typeof errors === "string" ? errors : JSON.stringify(errors, null, "\t"));
	process.exitCode = 1;
}
console.log(validator.version);
