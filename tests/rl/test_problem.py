from metarl.core.prng import Key
from metarl.rl.problem import ReinforcementLearning
from tests.helpers.families import HORIZON, REACHING
from tests.helpers.successes import BY_HAND, RATES, setup


def test_a_problem_scores_success():
    policy, params, envs = setup(REACHING, BY_HAND)
    problem = ReinforcementLearning(policy, lambda tasks: envs, horizon=HORIZON, episodes=2)
    assert problem.collect(params, BY_HAND, Key(1)).success.tolist() == RATES
