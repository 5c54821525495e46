"""The command `ivl`: one file a command, loaded when it is asked for. Nothing imports this room."""
