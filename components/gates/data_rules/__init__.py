"""The rules of the data gate, one module per subject. `data_gate.RULES` lists them in the order of their verdicts.

Each rule is a function from the input of the gate and its limits to verdicts; it yields none where its limit is off.
"""
