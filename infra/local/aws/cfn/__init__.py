"""The CloudFormation engine: templates in, change sets and stack operations out; ``resources`` makes what they say."""
