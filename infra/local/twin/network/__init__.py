"""What is deployed, as a network in the kernel: namespaces, routes, rules and links."""
