"""Training: recipes, the Lightning module, callbacks. Nothing else imports Lightning."""
