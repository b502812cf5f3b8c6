"""The front end of explanations: its wire is a row. It asks the model as any caller does."""
