"""Drive an exported pursuer with NumPy and onnxruntime alone: `python examples/onnx_numpy.py pursuer.onnx`."""

import json
import sys

import numpy as np
import onnxruntime

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
pursuer = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
about = pursuer.get_modelmeta().custom_metadata_map
limits, constraints, dt = json.loads(about["limits"]), json.loads(about["constraints"]), float(about["dt"])

half_extents = np.array([10.0, 10.0])
discs = np.full((int(about["discs"]), 3), np.nan)  # x, y, radius; padding is NaN
discs[0] = 0.5, 0.5, 0.8
pose, control = np.array([-4.0, -4.0, 0.0]), np.zeros(2)
evader, fleeing = np.array([4.0, 4.0, 1.0]), np.array([0.5 * limits["max_speed"], 0.3])


def moved(pose, control):
    """One Euler step."""
    x, y, heading = pose
    v, omega = control
    return np.array([x + v * dt * np.cos(heading), y + v * dt * np.sin(heading), heading + omega * dt])


closest, held = np.inf, {}
for step in range(int(60 / dt)):
    sample = {
        "pose": pose,
        "control": control,
        "opponent_pose": evader,
        "opponent_control": fleeing,
        "discs": discs,
        "half_extents": half_extents,
    }
    outputs = pursuer.run(None, {name: value[None] for name, value in sample.items()})
    (control,), _, (active,), (feasible,), _ = outputs
    assert feasible
    if active >= 0:
        reason = constraints.get(str(active), f"disc {active}")
        held[reason] = held.get(reason, 0) + 1
    pose, evader = moved(pose, control), moved(evader, fleeing)
    closest = min(closest, np.hypot(*(discs[0, :2] - pose[:2])) - discs[0, 2] - limits["radius"])
    if np.hypot(*(evader - pose)[:2]) <= 0.5:
        print(f"captured after {(step + 1) * dt:.1f} s")
        break
else:
    print("not captured in a minute")
print(f"closest to the disc: {closest:.3f} m; steps held by: {held}")
