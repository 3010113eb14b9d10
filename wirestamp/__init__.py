"""The `wirestamp` command and the demo: the only package that knows every other one."""
