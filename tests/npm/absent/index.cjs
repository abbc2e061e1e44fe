// The SDK's core asks for this package, and the registry that these tests may
// use does not offer it. What is called here never comes by; if it did, nothing
// would pretend to have validated anything: `check.mjs` does that with the schemas.
exports.EntityValidator = class {
  validateEntity() {
    throw new Error('the entity validator is not installed');
  }
};
