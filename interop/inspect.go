package main

import (
	"fmt"

	"github.com/hibiken/asynq"
)

// inspectTasks lists the tasks of all states with the public inspector and looks each up.
func inspectTasks(d *database, queue string, counts map[string]int) error {
	i := d.inspector
	all := asynq.PageSize(1 << 20)
	lists := map[string]func() ([]*asynq.TaskInfo, error){
		"pending":   func() ([]*asynq.TaskInfo, error) { return i.ListPendingTasks(queue, all) },
		"active":    func() ([]*asynq.TaskInfo, error) { return i.ListActiveTasks(queue, all) },
		"scheduled": func() ([]*asynq.TaskInfo, error) { return i.ListScheduledTasks(queue, all) },
		"retry":     func() ([]*asynq.TaskInfo, error) { return i.ListRetryTasks(queue, all) },
		"archived":  func() ([]*asynq.TaskInfo, error) { return i.ListArchivedTasks(queue, all) },
		"completed": func() ([]*asynq.TaskInfo, error) { return i.ListCompletedTasks(queue, all) },
	}
	groups, err := i.Groups(queue)
	if err != nil {
		return fmt.Errorf("Groups: %w", err)
	}
	for _, group := range groups {
		lists["group "+group.Group] = func() ([]*asynq.TaskInfo, error) {
			return i.ListAggregatingTasks(queue, group.Group, all)
		}
	}
	for name, read := range lists {
		tasks, err := read()
		if err != nil {
			return fmt.Errorf("list of %s: %w", name, err)
		}
		for _, task := range tasks {
			if _, err := i.GetTaskInfo(queue, task.ID); err != nil {
				return fmt.Errorf("GetTaskInfo of %s task %q: %w", name, task.ID, err)
			}
		}
		counts[name] = len(tasks)
	}
	return nil
}
