from bokeh.layouts import column
from bokeh.models import Button, ColumnDataSource, Div
from bokeh.plotting import curdoc, figure

said = Div(text="pressed 0 times", name="said")
button = Button(label="press", name="button")
points = ColumnDataSource({"x": [], "y": []}, name="points")
plot = figure()
plot.scatter("x", "y", source=points)
presses = 0


def press():
    global presses
    presses += 1
    said.text = f"pressed {presses} times"
    points.data = {"x": list(range(100_000 * presses)), "y": list(range(100_000 * presses))}


button.on_click(press)
curdoc().add_root(column(button, said, plot))
