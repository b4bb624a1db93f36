/*
 * model_by_seed.c - the random test of a model (model.h).
 *
 *	X_model [--seed N|random] [--steps N]
 *
 * The seed is printed; the same seed and number of steps do the same again.
 */
#include <sys/random.h>
#include "model.h"

static unsigned long long seed = 20221211, steps = 100000;

uint64_t choose(uint64_t n)
{
	return check_rand_below(n);
}

uint64_t choose_word(void)
{
	return check_rand();
}

static void finish(void)
{
	if (model.finish)
		model.finish();
}

static void random_steps(void)
{
	unsigned long long i;

	check_seed = seed;
	for (i = 0; i < steps && !check_failed_now; i++) {
		if (i % model.round == 0) {
			if (i)
				finish();
			model.start();
		}
		model.step();
		model.check();
	}
	if (!check_failed_now)
		finish();
	if (!check_failed_now && model.covered)
		model.covered();
	if (check_failed_now)
		printf("  seed %llu, step %llu\n", seed, i - 1);
}

int main(int argc, char **argv)
{
	for (int i = 1; i + 1 < argc; i += 2) {
		if (!strcmp(argv[i], "--steps"))
			steps = strtoull(argv[i + 1], NULL, 0);
		else if (!strcmp(argv[i], "--seed") && strcmp(argv[i + 1], "random"))
			seed = strtoull(argv[i + 1], NULL, 0);
		else if (getrandom(&seed, 4, 0) != 4)
			return 2;
	}
	if (model.others)
		model.others();
	printf("seed %llu, %llu steps\n", seed, steps);
	RUN(random_steps);
	return check_done();
}
