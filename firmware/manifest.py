# Freeze Relith into a MicroPython build: include("…/firmware/manifest.py"), and a board.py of your own, one line long:
# from boards.pico import *
package("relith")  # noqa: F821
package("drivers")  # noqa: F821
package("boards")  # noqa: F821
module("main.py")  # noqa: F821
