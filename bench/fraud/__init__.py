"""The study of decisions: a tuned model beside a boosted tree on made-up payments."""
