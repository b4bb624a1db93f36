/*
 * The program that fork_exec_wait and its like execute: as small as a static program made with a C
 * library gets.  It touches text, data and bss as any program does before it starts to work.
 */
static int data = 41;
static int bss[2048];

int main(void)
{
	data++;
	bss[1000] = data;
	return *(volatile int *)&bss[1000];
}
